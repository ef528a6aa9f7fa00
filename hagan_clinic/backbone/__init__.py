"""The shared hierarchy of HA-GAN: slabs, blocks, generator and discriminator parts, losses."""
