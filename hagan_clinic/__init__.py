"""Brain MR sequence translation and synthesis with hierarchical amortised 3D GANs."""
