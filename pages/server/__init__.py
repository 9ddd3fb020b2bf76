"""The one store and engine of the server, the identity of a browser, live updates, and all that touches Streamlit's insides."""
