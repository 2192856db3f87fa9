"""Tables, summary, LaTeX, Markdown, HTML, and fits as other packages take them."""
