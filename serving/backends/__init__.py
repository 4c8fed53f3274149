"""Where a model can answer: one file per kind of place, all speaking `base.Backend`. No Django in here."""
