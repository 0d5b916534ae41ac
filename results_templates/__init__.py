"""Templates of the tables and of the report; installed as nnunetv2_mscs.results_templates."""
