"""Files that are written beside the fused pictures: tables, drawings, and a record of how the pictures were made."""
