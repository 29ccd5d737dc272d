// Tests of the port API.
