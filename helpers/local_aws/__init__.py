"""A local AWS: SQS, Lambda, event source mappings and CloudWatch metrics of our own, with moto as the control plane."""
