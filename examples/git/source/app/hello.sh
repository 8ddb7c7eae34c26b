echo "Hello from a Git repository."
