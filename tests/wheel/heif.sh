python - <<'PY'
import pillow_heif
import vtc_pictures
from PIL import Image

pillow_heif.register_heif_opener()
Image.new("RGB", (32, 32), "red").save("red.heic")
assert vtc_pictures.read_file("red.heic").size == (32, 32)
PY
