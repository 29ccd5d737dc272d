// Tests of the plugin.
