"""SmolVLM2, which answers about real videos without a GPU: transformers' own network behind the seam."""
