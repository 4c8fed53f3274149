"""Settings: `base` for all; `dev`, `test` and `prod` on it; `active` is the one that `APEX_ENV` names."""
