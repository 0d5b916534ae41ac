"""A model as a thing to have: new scans in, masks and volumes out (`Predictor`, `mscs predict`)."""
