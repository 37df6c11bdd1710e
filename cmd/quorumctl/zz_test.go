package main
import ("testing";"bytes";"strings";"crypto/tls";"google.golang.org/grpc";"google.golang.org/grpc/credentials")
func TestZZ(t *testing.T){
 files, config := makeCertificates(t)
 config.ClientAuth = tls.RequireAndVerifyClientCert
 a:=startFake(t, grpc.Creds(credentials.NewTLS(config))).address
 for range 12 { var o,e bytes.Buffer
 newApp(strings.NewReader(""),&o,&e,nil).run([]string{"get","a","--endpoints","https://"+a,"--cacert",files.ca,"--command-timeout","300ms"})
 t.Log(e.String())}
}
