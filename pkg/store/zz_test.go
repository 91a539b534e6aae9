package store_test
import ("testing";"fmt";"time";"github.com/fenflow/fenflow/pkg/pay")
func TestZZ(t *testing.T){
 url:="postgres://fenflow@127.0.0.1:55491/b?sslmode=disable"
 if err:=migrate(t.Context(),url);err!=nil{t.Fatal(err)}
 b:=openBooks(t,url)
 body:=make([]byte,900); for i:=range body{body[i]=byte('a'+i%26)}
 n:=int(time.Now().Unix())*10000
 for r:=0;r<8;r++{
 entries:=make([]pay.Entry,500)
 for i:=range entries{ n++; o:=b.placeAs(pay.OutTradeNo(fmt.Sprintf("B%015d",n))); entries[i]=arrived(payment(o,pay.TransactionID(fmt.Sprintf("42%015d",n)))); entries[i].Delivery.Body=body}
 s:=time.Now(); b.settle(entries...); fmt.Println("settle",time.Since(s))
 }
}
