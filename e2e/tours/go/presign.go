package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// presign answers each line of input, an operation and its parameters in S3's names, with the URL that the SDK makes of it
// and the headers that have to be sent with it.
func presign(ctx context.Context, client *s3.PresignClient) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked struct {
			Operation  string
			Parameters json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		signed, err := presignOne(ctx, client, asked.Operation, asked.Parameters)
		if err != nil {
			return err
		}
		signed.SignedHeader.Del("Host")
		headers := map[string]string{}
		for name := range signed.SignedHeader {
			headers[name] = signed.SignedHeader.Get(name)
		}
		answer, err := json.Marshal(map[string]any{"url": signed.URL, "headers": headers})
		if err != nil {
			return err
		}
		fmt.Println(string(answer))
	}
	return lines.Err()
}

// into calls one of the presigner's functions with the parameters as its input.
func into[Input any](ctx context.Context, call func(context.Context, *Input, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error), parameters json.RawMessage) (*v4.PresignedHTTPRequest, error) {
	var input Input
	if err := json.Unmarshal(parameters, &input); err != nil {
		return nil, err
	}
	return call(ctx, &input, s3.WithPresignExpires(5*time.Minute))
}

func presignOne(ctx context.Context, client *s3.PresignClient, operation string, parameters json.RawMessage) (*v4.PresignedHTTPRequest, error) {
	switch operation {
	case "GetObject":
		return into(ctx, client.PresignGetObject, parameters)
	case "HeadObject":
		return into(ctx, client.PresignHeadObject, parameters)
	case "PutObject":
		return into(ctx, client.PresignPutObject, parameters)
	case "DeleteObject":
		return into(ctx, client.PresignDeleteObject, parameters)
	case "UploadPart":
		return into(ctx, client.PresignUploadPart, parameters)
	case "HeadBucket":
		return into(ctx, client.PresignHeadBucket, parameters)
	default:
		return nil, fmt.Errorf("the SDK for Go presigns no %s", operation)
	}
}
