// The vRouter agent's port API; filled by the next commits.
