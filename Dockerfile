# One image, all programs: docker compose picks one with `command`.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/fenflow/fenflow/pkg/app/boot.version=${VERSION}" \
      -o /out/ ./cmd/fenflow ./cmd/ingest ./cmd/worker ./cmd/reconciler ./cmd/simulator

# distroless: no shell, no package manager; runs as nonroot (65532).
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/ /usr/local/bin/
USER nonroot:nonroot
WORKDIR /etc/fenflow
ENTRYPOINT []
CMD ["/usr/local/bin/fenflow", "--help"]
