"""What survives a crash: settings, spool, ledger, store."""
