// Package operatorapi is a client of the operators' API, written by a generator
// from schema/openapi.yaml. It is published: programs that watch over fenflow
// may import it.
//
//	client, err := operatorapi.NewClientWithResponses("http://127.0.0.1:8083",
//		operatorapi.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
//			r.Header.Set("Authorization", "Bearer "+token)
//			return nil
//		}))
//
// Its neighbours: package operator is the other side. It needs the standard
// library and the generator's small runtime.
//
// It guarantees that it knows what the schema knows: `make check` fails when
// the two differ. An answer's Body holds its bytes as they came.
//
// It leaves to others: the token, time-outs, repeats, and what to make of a
// problem.
package operatorapi

//go:generate go tool -modfile=../../tools/go.mod oapi-codegen -config oapi-codegen.yaml ../../schema/openapi.yaml
