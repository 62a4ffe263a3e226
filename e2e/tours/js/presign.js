// A presigner to ask: each line in is {"operation", "parameters"} in S3's names, each line out the URL that the SDK makes of it,
// and the body that it would send.
import { createInterface } from 'node:readline';
import * as sdk from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const s3 = new sdk.S3Client({ endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey }, forcePathStyle: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { operation, parameters } = JSON.parse(line);
  const command = new sdk[`${operation}Command`](parameters);
  let body = '';
  command.middlewareStack.add((next) => (call) => { body = call.request.body ?? ''; return next(call); }, { step: 'build' });
  const url = await getSignedUrl(s3, command, { expiresIn: 300 });
  console.log(JSON.stringify({ url, headers: {}, body })); // where there is a body, its length is signed
}
