"""What TensorFlow writes, read without it: tables, tensor bundles, protobuf messages and object graphs."""
