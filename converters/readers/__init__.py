"""One module a file format: file on disk to Checkpoint. numpy and h5py only; nothing in a file is run or followed."""
