"""From the folder layouts that stroke scans come in to nnU-Net's raw format: one small module a layout, one writer."""
