"""What the web page is made of: the run as the visitor sees it, and the templates that draw it. Knows no Gradio."""
