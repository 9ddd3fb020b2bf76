"""The one store and engine of the server, the browser's owner token, live updates, the network, and all use of Streamlit's internals."""
