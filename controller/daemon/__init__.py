"""The `ringfenced` command: one subcommand for each process of the product."""
