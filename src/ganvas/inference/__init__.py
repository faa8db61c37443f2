"""Finished models applied to images: upscale, restore, inpaint, translate, stylize."""
