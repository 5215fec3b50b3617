vtc demo --scenes 1
vtc ask vtc-demo.png "how many objects ?"
