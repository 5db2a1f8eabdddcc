"""The code and templates that run Ordinal on one machine and in the cloud."""
