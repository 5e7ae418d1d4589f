"""What is deployed: bundles, pinned requirements, and what Terraform must declare."""
