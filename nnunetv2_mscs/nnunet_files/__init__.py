"""What nnU-Net reads and leaves on disk: names of variables, folders and files, and how their content is read."""
