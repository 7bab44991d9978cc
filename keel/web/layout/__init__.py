"""How Keel looks: base pages, their parts, and charts drawn as SVG. docs/design.md is the guide."""
