"""What ``--model`` trains besides HA-GAN: settings, recipe and model of each baseline."""
