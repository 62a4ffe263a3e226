import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import software.amazon.awssdk.awscore.presigner.PresignedRequest;
import software.amazon.awssdk.core.SdkField;
import software.amazon.awssdk.core.SdkPojo;
import software.amazon.awssdk.core.protocol.MarshallingType;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.s3.model.*;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/**
 * A presigner to ask: each line in is an operation and its parameters in S3's names, each line out the URL that the SDK makes
 * of it and the headers that have to be sent with it. Arguments: ENDPOINT ACCESS_KEY SECRET_KEY.
 */
public final class Presign {
    private static final Duration LIFE = Duration.ofMinutes(5);

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (S3Presigner presigner = Tour.presigner(arguments[0], Tour.credentials(arguments[1], arguments[2]))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                Map<String, JsonNode> asked = JsonNode.parser().parse(line).asObject();
                PresignedRequest signed = presign(presigner, asked.get("operation").asString(), asked.get("parameters").asObject());
                Map<String, String> headers = new TreeMap<>();
                signed.signedHeaders().forEach((name, values) -> headers.put(name, String.join(",", values)));
                headers.remove("host");
                String pairs = headers.entrySet().stream().map(h -> quoted(h.getKey()) + ":" + quoted(h.getValue())).collect(Collectors.joining(","));
                System.out.println("{\"url\":" + quoted(signed.url().toString()) + ",\"headers\":{" + pairs + "}}");
            }
        }
    }

    private static PresignedRequest presign(S3Presigner presigner, String operation, Map<String, JsonNode> given) {
        switch (operation) {
            case "GetObject":
                return presigner.presignGetObject(r -> r.signatureDuration(LIFE).getObjectRequest(fill(GetObjectRequest.builder(), given).build()));
            case "HeadObject":
                return presigner.presignHeadObject(r -> r.signatureDuration(LIFE).headObjectRequest(fill(HeadObjectRequest.builder(), given).build()));
            case "HeadBucket":
                return presigner.presignHeadBucket(r -> r.signatureDuration(LIFE).headBucketRequest(fill(HeadBucketRequest.builder(), given).build()));
            case "PutObject":
                return presigner.presignPutObject(r -> r.signatureDuration(LIFE).putObjectRequest(fill(PutObjectRequest.builder(), given).build()));
            case "DeleteObject":
                return presigner.presignDeleteObject(r -> r.signatureDuration(LIFE).deleteObjectRequest(fill(DeleteObjectRequest.builder(), given).build()));
            case "CreateMultipartUpload":
                return presigner.presignCreateMultipartUpload(r -> r.signatureDuration(LIFE).createMultipartUploadRequest(fill(CreateMultipartUploadRequest.builder(), given).build()));
            case "UploadPart":
                return presigner.presignUploadPart(r -> r.signatureDuration(LIFE).uploadPartRequest(fill(UploadPartRequest.builder(), given).build()));
            case "CompleteMultipartUpload":
                return presigner.presignCompleteMultipartUpload(r -> r.signatureDuration(LIFE).completeMultipartUploadRequest(fill(CompleteMultipartUploadRequest.builder(), given).build()));
            case "AbortMultipartUpload":
                return presigner.presignAbortMultipartUpload(r -> r.signatureDuration(LIFE).abortMultipartUploadRequest(fill(AbortMultipartUploadRequest.builder(), given).build()));
            default:
                throw new IllegalArgumentException("the SDK for Java presigns no " + operation);
        }
    }

    /** Sets each parameter by its name in S3's model. */
    private static <B extends SdkPojo> B fill(B builder, Map<String, JsonNode> given) {
        for (SdkField<?> field : builder.sdkFields()) {
            JsonNode value = given.get(field.memberName());
            if (value == null) {
                continue;
            }
            if (field.marshallingType() == MarshallingType.INTEGER) {
                field.set(builder, Integer.valueOf(value.asNumber()));
            } else if (field.marshallingType() == MarshallingType.MAP) {
                field.set(builder, value.asObject().entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, e -> e.getValue().asString())));
            } else {
                field.set(builder, value.asString());
            }
        }
        return builder;
    }

    /** URLs and headers hold no control characters. */
    private static String quoted(String text) {
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }
}
