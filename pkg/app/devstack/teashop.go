package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/fenflow/fenflow/pkg/simulator/weixin"
)

// shopName is the tea shop among the processes.
const shopName = "shop"

// Why the shop cannot open.
var (
	errNoCheckout = errors.New("this is not a checkout of fenflow, so examples/shop cannot be built")
	errNoAccount  = errors.New("the test merchant is of a former version and has no official account; for a new one, name a new directory: devstack up --dir")
)

// startShop builds examples/shop and opens it. It is a business system, no part of
// fenflow: it is given an API key and addresses, as any shop would be.
func (s *Stack) startShop(ctx context.Context) error {
	if !s.options.Shop {
		return nil
	}
	root, err := checkout()
	if err == nil && s.appidOf(weixin.KindOfficialAccount) == "" {
		err = fmt.Errorf("%w %s-new", errNoAccount, s.options.Dir)
	}
	if err != nil {
		s.say("the tea shop stays closed: %v", err)
		return nil
	}
	program := s.options.path("bin", shopName)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./examples/shop")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build examples/shop: %w: %s", err, out)
	}
	if err := s.program(ctx, shopName, s.shopEnvironment(root), program); err != nil {
		return err
	}
	return s.await(ctx, shopName, s.shopAddress()+"/config.json")
}

func (s *Stack) shopEnvironment(root string) []string {
	return []string{
		"LISTEN=" + address(s.ports.shop), "PAGES_DIR=" + filepath.Join(root, "examples", "h5"),
		"API_URL=" + s.APIURL(), "API_KEY=" + s.merchant.APIKey, "FRONT_URL=" + s.FrontURL(),
		"JWEIXIN_URL=" + s.SimulatorURL() + "/open/js/jweixin-1.6.0.js",
		"APPID=" + s.appidOf(weixin.KindOfficialAccount), "WEBSITE_APPID=" + s.appidOf(weixin.KindWebsite),
	}
}

// checkout finds the root of the repository above the working directory.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module github.com/fenflow/fenflow\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errNoCheckout
		}
		dir = parent
	}
}

// appidOf finds the test merchant's appid of a kind.
func (s *Stack) appidOf(kind weixin.Kind) string {
	for _, app := range s.merchant.Apps {
		if app.Kind == kind {
			return app.Appid
		}
	}
	return ""
}
