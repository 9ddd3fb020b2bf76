"""Widgets that pages share. Only pages and these files know Streamlit."""
