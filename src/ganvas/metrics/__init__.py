"""What generated images are measured by; every metric owns its conventions and says them."""
