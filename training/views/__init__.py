"""Pages of training: home, the wizard (`plans`), jobs and adapters."""
