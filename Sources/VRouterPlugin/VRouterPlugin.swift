// The plugin of Contrail and Tungsten Fabric; filled by the next commits.
