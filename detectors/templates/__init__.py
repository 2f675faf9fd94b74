"""Log lines to templates, online: `miner.TemplateMiner`."""
