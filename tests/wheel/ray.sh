python -c "import os, vtc_tiny; os.mkdir('photos'); [vtc_tiny.scene(i).image.save(f'photos/{i}.png') for i in range(4)]"
vtc encode photos features --engine ray --workers 1
