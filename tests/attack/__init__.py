"""Everything hostile that was thought of, against the library and against the running page."""
