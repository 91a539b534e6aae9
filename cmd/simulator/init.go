package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/spf13/cobra"
)

func initCommand() *cobra.Command {
	var dir string
	var asJSON bool
	options := simulator.InitOptions{}.WithDefaults()
	command := &cobra.Command{
		Use:   "init --dir D",
		Short: "Write a complete test merchant: keys, certificates, fenflow.yaml, merchant.json",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := simulator.Init(dir, options)
			if err != nil {
				return fmt.Errorf("init merchant: %w", err)
			}
			return reportInit(c.OutOrStdout(), dir, m, asJSON)
		},
	}
	f := command.Flags()
	f.StringVar(&dir, "dir", "", "directory of the merchant; made if missing")
	f.BoolVar(&options.Force, "force", false, "replace the merchant that is there")
	f.BoolVar(&options.Readable, "readable", false, "let every user of the machine read the secrets, for containers that run as another user")
	f.BoolVar(&asJSON, "json", false, "print one JSON document")
	f.StringVar(&options.Mchid, "mchid", options.Mchid, "merchant number")
	f.StringVar(&options.Appid, "appid", options.Appid, "application of the merchant")
	f.StringVar(&options.BaseURL, "base-url", options.BaseURL, "where the simulator will be reached")
	f.StringVar(&options.PublicURL, "public-url", options.PublicURL, "where notifications are sent to")
	f.StringVar(&options.ListenNotify, "listen-notify", options.ListenNotify, "fenflow's listener for notifications")
	f.StringVar(&options.ListenAPI, "listen-api", options.ListenAPI, "fenflow's listener for the business API")
	f.StringVar(&options.ListenFront, "listen-front", options.ListenFront, "fenflow's listener for buyers")
	f.StringVar(&options.OpenURL, "open-url", "", "where browsers reach the simulator, if not at --base-url")
	f.StringVar(&options.FrontURL, "front-url", options.FrontURL, "where buyers reach that listener")
	f.StringVar(&options.ShopURL, "shop-url", options.ShopURL, "where the shop's pages are: logins lead back there")
	f.StringVar(&options.ListenAdmin, "listen-admin", options.ListenAdmin, "fenflow's admin listener")
	f.StringVar(&options.PostgresURL, "postgres-url", options.PostgresURL, "PostgreSQL")
	f.StringVar(&options.NATSURL, "nats-url", options.NATSURL, "NATS")
	f.StringSliceVar(&options.NATSMonitorURLs, "nats-monitor-url", options.NATSMonitorURLs, "monitoring address of each NATS server")
	f.StringVar(&options.RedisURL, "redis-url", options.RedisURL, "Redis")
	_ = command.MarkFlagRequired("dir") // fails only for a flag that does not exist
	return command
}

// reportInit names files, never what is in them.
func reportInit(w io.Writer, dir string, m simulator.Merchant, asJSON bool) error {
	config, merchant := filepath.Join(dir, "fenflow.yaml"), filepath.Join(dir, "merchant.json")
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]string{"mchid": m.Mchid, "appid": m.Appid,
			"merchant_file": merchant, "config_file": config})
	}
	_, err := fmt.Fprintf(w, "Merchant %s is ready.\n  %s  all that a client needs\n  %s  fenflow's configuration\nNext: simulator serve --dir %s\n",
		m.Mchid, merchant, config, dir)
	return err
}
