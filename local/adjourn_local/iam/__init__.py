"""Which account may do what at the stack's services, as Google Cloud's IAM has it."""
