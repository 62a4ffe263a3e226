// A presigner to ask: each line in is {"operation", "parameters"} in S3's names, each line out the URL that the SDK makes of it.
import { createInterface } from 'node:readline';
import * as sdk from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const s3 = new sdk.S3Client({ endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { operation, parameters } = JSON.parse(line);
  console.log(JSON.stringify({ url: await getSignedUrl(s3, new sdk[`${operation}Command`](parameters), { expiresIn: 300 }), headers: {} }));
}
