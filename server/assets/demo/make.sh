#!/bin/sh
# Makes demo.flv, the clip that `rillcast demo` plays in a circle.
#
#   server/assets/demo/make.sh [OUTPUT]
#
# Needs FFmpeg with libx264, libfreetype and the DejaVu fonts (Debian: ffmpeg,
# fonts-dejavu-core); the file in the repository was made by FFmpeg 5.1.
#
# The clip loops without a seam because both tracks are 8 s to the tick:
#
#   video  200 pictures of 40 ms, four closed GOPs of 50, each with B-frames.
#          Everything in the picture moves with a period that divides 8 s, and
#          the first IDR's idr_pic_id differs from the last one's, so the first
#          picture of a round follows the last like any other.
#   audio  375 AAC frames of 1024 samples at 48 kHz. The tones have whole numbers
#          of periods in 8 s, and the frames are cut out of the middle of a
#          longer encode: no priming, no padding, and the first frame overlaps
#          with the last as with its true predecessor.
#
# A round starts at DTS 0; pictures and sound are shown 80 ms later (two
# pictures of reordering). Play round k with 8000 k ms added to each timestamp.
#
# On each full second the square lights up for three pictures and a 1 kHz pip
# sounds for 120 ms, over a steady 440 Hz tone: sound against picture can be
# checked by eye and ear.
set -eu

out=${1:-$(dirname "$0")/demo.flv}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
font=$(fc-match -f '%{file}' 'DejaVu Sans Mono:bold')
seconds=8
rate=25

# The picture: a grid, colour bars, a hand that turns once in two seconds, a
# ball, a line that fills once a round, and the counter (seconds.hundredths and
# picture number).
size=1280x720
graph="
color=0x0f172a:s=$size:r=$rate,drawgrid=w=80:h=80:t=2:c=0x1e293b,
drawbox=x=0:y=560:w=160:h=80:t=fill:c=0xe2e8f0,
drawbox=x=160:y=560:w=160:h=80:t=fill:c=0xfacc15,
drawbox=x=320:y=560:w=160:h=80:t=fill:c=0x22d3ee,
drawbox=x=480:y=560:w=160:h=80:t=fill:c=0x4ade80,
drawbox=x=640:y=560:w=160:h=80:t=fill:c=0xe879f9,
drawbox=x=800:y=560:w=160:h=80:t=fill:c=0xf87171,
drawbox=x=960:y=560:w=160:h=80:t=fill:c=0x60a5fa,
drawbox=x=1120:y=560:w=160:h=80:t=fill:c=0x020617,
drawbox=x=0:y=640:w=1280:h=12:t=fill:c=0x1e293b,
drawbox=x=1120:y=80:w=80:h=80:t=4:c=0xe2e8f0
[base];
color=black@0:s=360x360:r=$rate,format=yuva420p,
geq=lum='if(lt(hypot(X-180,Y-180),168),48,200)':cb='if(lt(hypot(X/SW-180,Y/SH-180),168),139,128)':cr='if(lt(hypot(X/SW-180,Y/SH-180),168),122,128)':a='if(lt(hypot(X-180,Y-180),176),255,0)',
trim=end_frame=1,loop=-1:1,setpts=N/$rate/TB[dial];
color=0x38bdf8:s=12x150:r=$rate,format=yuva420p,pad=360:360:174:36:color=black@0,
rotate='PI*t':c=black@0[hand];
color=0xfbbf24:s=72x72:r=$rate,format=yuva420p,
geq=lum='p(X,Y)':cb='p(X,Y)':cr='p(X,Y)':a='if(lt(hypot(X-36,Y-36),35),255,0)',
trim=end_frame=1,loop=-1:1,setpts=N/$rate/TB[ball];
color=0x38bdf8:s=1280x12:r=$rate[line];
color=0xffffff:s=80x80:r=$rate[flash];
[base][dial]overlay=760:160[a];
[a][hand]overlay=760:160[b];
[b][ball]overlay='604+560*sin(PI*t/2)':'470-200*abs(sin(PI*t))'[c];
[c][line]overlay='-W+W*t/$seconds':640[d];
[d][flash]overlay=1120:80:enable='lt(mod(n,$rate),3)',
drawtext=fontfile=$font:text=rillcast:x=80:y=80:fontsize=72:fontcolor=0xe2e8f0,
drawtext=fontfile=$font:text='demo stream  H.264 + AAC':x=82:y=168:fontsize=28:fontcolor=0x94a3b8,
drawtext=fontfile=$font:text='%{eif\:n/$rate\:d\:2}.%{eif\:mod(n,$rate)*100/$rate\:d\:2}':x=80:y=280:fontsize=160:fontcolor=0xffffff,
drawtext=fontfile=$font:text='picture %{eif\:n\:d\:3} of 200':x=86:y=450:fontsize=36:fontcolor=0x94a3b8,
format=yuv420p[v]"

ffmpeg -hide_banner -loglevel error -y -filter_complex "$graph" -map '[v]' -t "$seconds" \
    -c:v libx264 -profile:v high -level:v 3.1 -refs 4 -preset veryslow -tune animation -crf 20 -bf 3 -threads 1 \
    -x264-params "keyint=50:min-keyint=50:scenecut=0:open-gop=0:b-pyramid=normal:b-adapt=2" \
    -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv \
    -fflags +bitexact -flags:v +bitexact "$work/video.mp4"

ffmpeg -hide_banner -loglevel error -y -f lavfi \
    -i "aevalsrc=0.1*sin(2*PI*440*t)+0.3*sin(2*PI*1000*t)*lt(mod(t\,1)\,0.12)*sin(PI*min(mod(t\,1)\,0.12)/0.12):s=48000:d=$((seconds * 3)):c=mono" \
    -af 'pan=stereo|c0=c0|c1=c0' -c:a aac -b:a 96k -fflags +bitexact -flags:a +bitexact "$work/audio.m4a"

# The middle round of the sound beside the picture.
ffmpeg -hide_banner -loglevel error -y -i "$work/video.mp4" -ss "$seconds" -t "$seconds" -i "$work/audio.m4a" \
    -map 0:v -map 1:a -map_metadata -1 -c copy -fflags +bitexact -flvflags no_sequence_end+no_duration_filesize \
    -f flv "$out"
ls -l "$out"
