"""Where sightings and receipts are kept."""
