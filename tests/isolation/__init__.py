"""What other tenants, and users without the right, must not see: asked of every route that there is."""
