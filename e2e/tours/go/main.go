// The tour of the AWS SDK for Go v2 at one endpoint, and a presigner to ask.
// Usage: tour ENDPOINT ACCESS_KEY SECRET_KEY BUCKET LOCATION FILE, or presign ENDPOINT ACCESS_KEY SECRET_KEY.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 7 && arguments[0] == "tour":
		t := tour{s3: client(arguments[1], arguments[2], arguments[3]), bucket: arguments[4], location: arguments[5], file: arguments[6]}
		t.stranger = client(arguments[1], arguments[2], "wrong")
		err = t.run(context.Background())
	case len(arguments) == 4 && arguments[0] == "presign":
		err = presign(context.Background(), s3.NewPresignClient(client(arguments[1], arguments[2], arguments[3])))
	default:
		err = fmt.Errorf("usage: tour ENDPOINT ACCESS_KEY SECRET_KEY BUCKET LOCATION FILE | presign ENDPOINT ACCESS_KEY SECRET_KEY")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// client makes one attempt per call: a fault that a retry would hide is a fault.
func client(endpoint, accessKey, secretKey string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint:     aws.String(endpoint),
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		UsePathStyle:     true,
		RetryMaxAttempts: 1,
	})
}
