"""From a config to the module, data and trainer that it names."""
